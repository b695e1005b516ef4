"""Reads requests as JSON lines from standard input, prints yes or no for each. usage: run.py snippet|library"""
import json, os, runpy, sys

directory = os.path.dirname(os.path.abspath(__file__))
if sys.argv[1] == "library":
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError

    def is_genuine(headers, body, secret):
        try:
            Webhook(secret).verify(body, headers)
            return True
        except WebhookVerificationError:
            return False
else:
    is_genuine = runpy.run_path(os.path.join(directory, "verify.py"))["is_genuine"]
for line in sys.stdin:
    request = json.loads(line)
    print("yes" if is_genuine(request["headers"], request["body"].encode(), request["secret"]) else "no")
