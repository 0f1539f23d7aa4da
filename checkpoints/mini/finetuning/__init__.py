"""Makes `checkpoints/mini` from multilingual-e5-small: prunes it, fine-tunes it for every task, judges and exports it.

    python -m checkpoints.mini.finetuning --start E5 --data DATA --out OUT --work build/mini

Only `__main__.py` is run. The product never imports this folder. It must not know the product beyond heads.json.
"""
