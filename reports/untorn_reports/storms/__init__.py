"""What people and programs read of a storm and of a campaign; imports only the law."""
