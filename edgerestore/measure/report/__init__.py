"""Results as one HTML file that opens anywhere: ``html.report_html`` makes it."""
