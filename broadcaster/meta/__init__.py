"""What talks to Meta: management calls, the sending connection, the payloads of callbacks."""
