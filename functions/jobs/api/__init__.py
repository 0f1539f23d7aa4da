"""What the jobs routes do: jobs, recipes, results and error rows of one tenant at a time.

`jobs.py` is the entry. Every key begins with the tenant, so that the id of another tenant's job is unknown. Must not
know HTTP, boto3 or the environment.
"""
