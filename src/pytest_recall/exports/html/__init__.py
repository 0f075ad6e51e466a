"""A report as one HTML file that needs nothing else: `page.py` makes it of templates, styles and scripts in here."""
