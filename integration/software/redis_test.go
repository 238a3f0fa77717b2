//go:build software

package software

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/integration/vm"
)

var redisRoot = root{
	Name:     "redis",
	Packages: []string{"redis-server", "gosu"},
	Users:    []string{"redis:x:999:999::/data:/usr/sbin/nologin"},
	Modes:    []mode{{"data", 0o755, 999}},
	Files: map[string]string{
		"usr/local/bin/docker-entrypoint.sh": `#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
	find . ! -user redis -exec chown redis '{}' +
	exec gosu redis "$0" "$@"
fi
umask 0077
exec "$@"
`,
	},
}

var redisImage = image{
	Entrypoint: []string{"docker-entrypoint.sh"},
	Cmd:        []string{"redis-server", "--protected-mode", "no", "--bind", "*"},
	Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	WorkingDir: "/data",
	Mounts:     []specs.Mount{{Destination: "/data", Type: "virtiofs", Source: "data"}},
}

// TestRedis runs the server twice with the same data, a directory of the host.
func TestRedis(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, queries := range []struct {
		send, want string
	}{
		{
			strings.Repeat("INCR counter\r\n", 1000) + "SET key value\r\nGET counter\r\n",
			"+OK\r\n$4\r\n1000\r\n",
		},
		{"GET key\r\nGET counter\r\n", "$5\r\nvalue\r\n$4\r\n1000\r\n"},
	} {
		cfg := redisRoot.machine(t, redisImage.withControl())
		cfg.Shares = []vm.Share{{Tag: "data", Dir: data}}
		g := startServer(t, cfg)
		g.stdout.wait(t, "Ready to accept connections")
		conn, err := g.dial(t.Context(), 6379)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, queries.send+"PING\r\n"); err != nil {
			t.Fatal(err)
		}
		var answers strings.Builder
		for r := bufio.NewReader(conn); ; {
			line, err := r.ReadString('\n')
			if err != nil || line == "+PONG\r\n" {
				break
			}
			if !strings.HasPrefix(line, ":") { // answers to INCR
				fmt.Fprint(&answers, line)
			}
		}
		if answers.String() != queries.want {
			t.Errorf("answers = %q, want %q", &answers, queries.want)
		}
		g.exec("kill -TERM 1")
		g.wantExit(0)
		wantLines(t, g.stdout.String(), "Received SIGTERM", "DB saved on disk", "bye bye")
	}
}
