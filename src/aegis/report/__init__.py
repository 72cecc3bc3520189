"""To read and to look at: what a finished run says, in words, tables, pictures and one page."""
