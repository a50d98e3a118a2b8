"""The Kafka door: consume, fan out, commit what is durable, dead-letter what is refused."""
