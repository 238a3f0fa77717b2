# fish completion for {{.Name}}, made from what --help prints; see multicall/dist of krunbox
{{- $name := .Name}}
{{- if .Applets}}{{range .Words}}
complete -c {{$name}} -f -n __fish_use_subcommand -a {{.Name}} -d {{quote .Summary}}
{{- end}}
complete -c {{$name}} -f -n '__fish_seen_subcommand_from help' -a '{{names .Applets}}'
{{- range $applet := .Applets}}{{range .Options}}
complete -c {{$name}} -n '__fish_seen_subcommand_from {{$applet.Name}}' {{fish .}}
{{- if $applet.IsLink}}
complete -c {{$applet.Name}} {{fish .}}
{{- end}}{{end}}{{end}}
{{- else}}{{range .Options}}
complete -c {{$name}} {{fish .}}
{{- end}}{{end}}
