"""The table, pictures and page of `rmtl backtest`."""
