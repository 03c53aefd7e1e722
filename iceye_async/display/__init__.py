"""What people see: text for terminals. Everything that came from outside is escaped."""
