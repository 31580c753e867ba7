"""What makes and checks the documentation and the release; not part of the package."""
