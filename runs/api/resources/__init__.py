"""The API's resources, one file each."""
