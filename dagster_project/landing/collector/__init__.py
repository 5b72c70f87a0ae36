"""Events over HTTP into a stream's log: `posted` reads a request, `group_commit` makes it durable, `app` answers it."""
