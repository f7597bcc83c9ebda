"""Backups: each intent's backup model beside its primary, on like traffic."""
