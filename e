wrote /tmp/hostile_full/sc/scores.json
