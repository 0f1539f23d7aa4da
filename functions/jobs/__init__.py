"""Batch jobs: documents that land in S3 become records, answers, parts and a manifest.

`state/` and `records/` are pure. `storage/` keeps items, objects, messages and events. `steps/` holds what each Lambda
function does, and `api/` what the jobs routes do. Must not know the Lambda runtime.
"""
