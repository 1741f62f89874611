"""A fleet for tests: several hosts of a lab that the playbook made one of, and what goes wrong
between them."""
