"""What scripts/kill_campaign.py interrupts, and how."""
