"""A hospital's own table: any CSV or ARFF file, read with its quirks or refused with a sentence."""
