"""What a fitted model knows, as pictures and as DataFrames."""
