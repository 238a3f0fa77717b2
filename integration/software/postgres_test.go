package software

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

const (
	postgresBin  = "usr/lib/postgresql/15/bin"
	postgresData = "/var/lib/postgresql/data"
)

var postgresRoot = root{
	Name:     "postgres",
	Packages: []string{"postgresql-15", "gosu"},
	Users:    []string{"postgres:x:999:999::/var/lib/postgresql:/bin/bash"},
	Modes: []mode{
		{"var/lib/postgresql", 0o755, 999},
		{"var/lib/postgresql/data", 0o700, 999},
		{"run/postgresql", fs.ModeSetgid | fs.ModeSticky | 0o777, 999},
	},
	Files: map[string]string{
		// It does the work of the official image's entry point, by the same means.
		"usr/bin/docker-entrypoint.sh": `#!/bin/bash
set -e
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	chown -R postgres "$PGDATA"
	chmod 700 "$PGDATA"
	exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-host=scram-sha-256
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
	pg_ctl -w -o "-c listen_addresses=''" start
	for f in /docker-entrypoint-initdb.d/*.sql; do
		psql -v ON_ERROR_STOP=1 -U postgres -f "$f"
	done
	pg_ctl -w -m fast stop
fi
exec "$@"
`,
		"docker-entrypoint-initdb.d/tables.sql": "CREATE TABLE items (id int PRIMARY KEY, name text);\n",
	},
}

var postgresImage = image{
	Entrypoint: []string{"docker-entrypoint.sh"},
	Cmd:        []string{"postgres", "-c", "listen_addresses=*"},
	Env: []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/" + postgresBin,
		"LANG=C.UTF-8", "PGDATA=" + postgresData, "POSTGRES_PASSWORD=secret word",
	},
	StopSignal: "SIGINT",
}

// TestPostgresUser runs the image as the user postgres, with a disk for the data.
func TestPostgresUser(t *testing.T) {
	t.Parallel()
	dir, disk := t.TempDir(), filepath.Join(t.TempDir(), "disk")
	db := filepath.Join(dir, "db")
	if err := errors.Join(os.Mkdir(db, 0o700), os.Chown(db, 999, 999)); err != nil {
		t.Fatal(err)
	}
	if err := diskimage.Create(disk, diskimage.FileSystem{Type: "ext4", Dir: dir, MiB: 512}); err != nil {
		t.Fatal(err)
	}
	i := postgresImage
	i.User = "postgres"
	i.Env = append(i.Env, "PGDATA="+postgresData+"/db") // the disk has a directory lost+found
	i.Mounts = []specs.Mount{{Destination: postgresData, Type: "ext4", Source: "/dev/vda"}}
	testPostgres(t, i, func(cfg *vm.Config) {
		cfg.Disks = []vm.Disk{{Path: disk}}
	})
}

// testPostgres runs the image twice, with the data that add adds to the machine. The second time,
// the server must find data of a clean end.
func testPostgres(t *testing.T, i image, add func(*vm.Config)) {
	t.Helper()
	run := func(query, want string) string {
		t.Helper()
		cfg := postgresRoot.machine(t, i.withControl())
		add(&cfg)
		g := startServer(t, cfg)
		g.stderr.wait(t, `listening on IPv4 address "0.0.0.0", port 5432`)
		g.stderr.wait(t, "database system is ready to accept connections")
		host, port := g.forward(5432)
		psql := postgresRoot.command(t, postgresBin+"/psql", "-XAtq", "-h", host, "-p", port, "-U", "postgres", "-c", query)
		psql.Env = append(os.Environ(), "PGPASSWORD=secret word")
		output, err := psql.CombinedOutput()
		if err != nil || string(output) != want {
			t.Errorf("psql -c %q prints %q, %v, want %q", query, output, err, want)
		}
		g.exec("kill -TERM 1")
		g.wantExit(0)
		log := g.stderr.String()
		wantLines(t, log, "received fast shutdown request", "database system is shut down")
		return log
	}
	run("INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n", "")
	log := run("SELECT count(*), max(length(name)) FROM items", "1000|9\n")
	wantLines(t, log, "database system was shut down at")
	if strings.Contains(log, "not properly shut down") || strings.Contains(log, "redo") {
		t.Errorf("log of the second run = %s, want no recovery", log)
	}
}
