"""Plans a job: accepts inbox objects as jobs, pins the inputs, and divides them into shards.

`planner.py` is the entry. Each step of planning is one transaction, so that it can stop and go on anywhere. Must not
know boto3, or how shards are answered.
"""
