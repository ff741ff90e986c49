"""The values a loop file is made of. Nothing here reads data, imports a backend or looks at a clock."""
