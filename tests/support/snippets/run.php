<?php
// Reads requests as JSON lines from standard input, prints yes or no for each.
require __DIR__ . '/verify.php';
while (($line = fgets(STDIN)) !== false) {
    $request = json_decode($line, true);
    echo is_genuine($request['headers'], $request['body'], $request['secret']) ? "yes\n" : "no\n";
}
