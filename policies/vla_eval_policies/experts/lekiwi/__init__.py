"""LeKiwi's scripted experts."""
