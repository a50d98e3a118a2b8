"""Facts about AWS from its documents, each with the document and the day on which it was read."""
