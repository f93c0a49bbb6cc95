"""Detection: any number of labelled boxes per picture."""
