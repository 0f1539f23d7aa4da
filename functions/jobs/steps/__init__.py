"""The steps of a batch job: plan, work, finalize, sweep, notify; and delete and redrive, which callers ask for.

Each step is a frozen value that is given exactly the stores it uses. `answer` handles an event of the step's queue. A
step may be repeated at any point: its writes are guarded, and its objects are written once. Must not know boto3, HTTP
routes or the environment.
"""
