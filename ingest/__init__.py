"""Kafka consumer: reads messages, hands them to processors, commits offsets, dead-letters."""
