"""Foreign state-dict names -> ours: one file per family, and the rules that apply them."""
