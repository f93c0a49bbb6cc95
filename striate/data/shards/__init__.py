"""Sets of tar shards: their index, their pictures, the cache of remote ones, and the order of an epoch."""
