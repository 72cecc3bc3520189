"""What every page is made with: templates, numbers as words, charts as coordinates, headers."""
