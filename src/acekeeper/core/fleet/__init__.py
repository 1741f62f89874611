"""What a host knows of the other hosts of its fleet, by what they say."""
