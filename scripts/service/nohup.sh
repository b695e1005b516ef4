#!/bin/sh
# Instead of a service: starts it in the background, where it goes on after the log-out. It keeps a log of its own, so
# its output need not be kept. To start it with the machine: @reboot and this line in the crontab (crontab -e).
nohup /usr/bin/dbsync2 --a db_sync --c CAMPAIGN --token-file /etc/dbsync2/token --url-file /etc/dbsync2/url </dev/null >/dev/null 2>&1 &
