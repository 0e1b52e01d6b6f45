"""`make corpus`: every rule over public repositories at fixed commits, compared with what was judged by hand."""
