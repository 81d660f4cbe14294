"""What stands in model files, read without the packages that wrote them."""
