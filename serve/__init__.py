"""The model side: packed engine, scheduler, Ray Serve applications."""
