"""Facts about AWS, each with its document; `READ` names the documents that were read."""
