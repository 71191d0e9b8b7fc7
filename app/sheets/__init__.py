"""Sheets: files of rows, read with suspicion and written so that they can be read again."""
