package software

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// nginxRoot has links for logs like the official images. It has configurations for root, port 80, and
// for its user, port 8080.
var nginxRoot = root{
	Name:     "nginx",
	Packages: []string{"nginx"},
	Users:    []string{"nginx:x:101:101::/nonexistent:/bin/false"},
	Links: map[string]string{
		"var/log/nginx/access.log": "/dev/stdout",
		"var/log/nginx/error.log":  "/dev/stderr",
	},
	Files: map[string]string{
		"etc/nginx/nginx.conf": nginxMain + nginxServer("80"),
		"etc/nginx/unprivileged.conf": `
pid /tmp/nginx.pid;
` + nginxMain + `
client_body_temp_path /tmp/client_temp;
proxy_temp_path /tmp/proxy_temp;
fastcgi_temp_path /tmp/fastcgi_temp;
uwsgi_temp_path /tmp/uwsgi_temp;
scgi_temp_path /tmp/scgi_temp;
` + nginxServer("8080"),
		"usr/share/nginx/html/index.html": "<h1>Welcome</h1>\n",
		"usr/share/nginx/html/big":        strings.Repeat("0123456789abcdef", nginxBig/16),
	},
}

const nginxBig = 4 << 20 // size of a file

const nginxMain = `
user nginx;
error_log /var/log/nginx/error.log notice;
events {}
http {
	access_log /var/log/nginx/access.log combined;
	sendfile on;
`

func nginxServer(port string) string {
	return `
	server {
		listen ` + port + `;
		root /usr/share/nginx/html;
		location /big { limit_rate 1m; }
	}
}
`
}

var nginxImage = image{
	Cmd:        []string{"nginx", "-g", "daemon off;"},
	StopSignal: "SIGQUIT",
}

func TestNginx(t *testing.T) {
	t.Parallel()
	g := startServer(t, nginxRoot.machine(t, nginxImage.withControl()))
	if status, body := g.get(80, "/"); status != 200 || body != "<h1>Welcome</h1>\n" {
		t.Errorf("GET / = %d, %q", status, body)
	}
	if status, _ := g.get(80, "/missing"); status != 404 {
		t.Errorf("GET /missing = %d, want 404", status)
	}
	g.stdout.wait(t, `"GET / HTTP/1.1" 200`)
	g.stderr.wait(t, `open() "/usr/share/nginx/html/missing" failed (2: No such file or directory)`)

	// QUIT lets requests complete.
	request, err := http.NewRequestWithContext(t.Context(), "GET", "http://guest/big", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := g.client(80).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	g.exec("ps -o user= -C nginx; kill -TERM 1")
	g.stdout.wait(t, "root\nnginx\n")
	g.stderr.wait(t, "gracefully shutting down")
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != nginxBig {
		t.Errorf("GET /big while nginx stops = %d bytes, %v, want %d", n, err, nginxBig)
	}
	g.wantExit(0)
	wantLines(t, g.stdout.String(), `"GET /big HTTP/1.1" 200 4194304`)
}
