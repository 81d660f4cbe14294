"""``python -m edgerestore``."""

from edgerestore.cli import run

if __name__ == "__main__":
    run()
