package software

import (
	"fmt"
	"strings"
	"testing"
)

var nodeRoot = root{
	Name:     "node",
	Packages: []string{"nodejs"},
	Users:    []string{"node:x:1000:1000::/home/node:/bin/bash"},
	Modes:    []mode{{"home/node", 0o755, 1000}},
	Files: map[string]string{
		"usr/local/bin/docker-entrypoint.sh": `#!/bin/sh
set -e
if [ "${1#-}" != "$1" ] || ! command -v "$1" >/dev/null; then
	set -- node "$@"
fi
exec "$@"
`,
		"home/node/server.js": `
const server = require('http').createServer((request, response) => {
	console.log(request.method, request.url)
	request.pipe(response)
})
server.listen(3000)
process.on('SIGTERM', () => server.close(() => { console.error('closed'); process.exit(0) }))
`,
	},
}

var nodeImage = image{
	Entrypoint: []string{"docker-entrypoint.sh"},
	Cmd:        []string{"node"},
	Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	User:       "node",
	WorkingDir: "/home/node",
}

// TestNode runs programs whose standard input is open all the time.
func TestNode(t *testing.T) {
	for _, tt := range []struct {
		name, program  string
		code           int
		stdout, stderr string
	}{
		{
			name:    "output",
			program: `console.log('x'.repeat(1000000)); console.error('y'.repeat(1000000)); process.exit(3)`,
			code:    3,
			stdout:  strings.Repeat("x", 1000000) + "\n",
			stderr:  strings.Repeat("y", 1000000) + "\n",
		},
		{
			name:    "exit while it reads",
			program: `process.stdin.on('data', d => { console.log('got ' + d); setTimeout(() => process.exit(0), 200) })`,
			stdout:  "got input\n\n",
		},
		{
			name:    "error while it reads",
			program: `process.stdin.resume(); setTimeout(() => { throw 'problem' }, 200)`,
			code:    1,
			stderr:  "problem",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := nodeImage
			i.Cmd = []string{"-e", tt.program}
			g := start(t, nodeRoot.machine(t, i))
			if _, err := fmt.Fprintln(g.stdin, "input"); err != nil {
				t.Fatal(err)
			}
			g.wantExit(tt.code)
			if got := g.stdout.String(); got != tt.stdout {
				t.Errorf("standard output has %d bytes: %.60q, want %d: %.60q", len(got), got, len(tt.stdout), tt.stdout)
			}
			if got := g.stderr.String(); !strings.Contains(got, tt.stderr) {
				t.Errorf("standard error has %d bytes: %.60q, want %.60q", len(got), got, tt.stderr)
			}
		})
	}
}
