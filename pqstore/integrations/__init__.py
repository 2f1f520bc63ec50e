"""Where applications are written: pqstore behind the interfaces of other frameworks, a module for each.

Each needs its framework, an extra of pqstore, and is imported by name: ``from pqstore.integrations.langchain import
PQStoreVectorStore``.
"""
