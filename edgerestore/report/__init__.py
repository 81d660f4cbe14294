"""Results as one HTML file that opens anywhere: ``html.write_report`` makes it."""
