"""Threads, clocks, retries and configuration of the agent."""
