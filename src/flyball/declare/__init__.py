"""The values a loop file is made of: units, links, digests, checks."""
