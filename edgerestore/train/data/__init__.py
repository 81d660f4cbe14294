"""What a recipe trains and validates on: pictures, their degradations, crops and batches."""
