"""What becomes of each endpoint, parameter and body key: rows that are tests and make docs/compatibility.md."""
