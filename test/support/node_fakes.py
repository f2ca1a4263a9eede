"""A ROS node as far as the node's outputs use one, without ROS."""


class Publisher:
    """Keeps what is sent.  subscribers: how many listen."""

    def __init__(self, subscribers):
        self.sent, self.subscribers = [], subscribers
        self.publish = self.sent.append

    def get_subscription_count(self):
        return self.subscribers


class Node:
    """Has the publishers that were made and not destroyed, by topic."""

    def __init__(self, subscribers=0):
        self.publishers, self.subscribers = {}, subscribers

    def create_publisher(self, kind, topic, qos, callback_group=None):
        return self.publishers.setdefault(topic, Publisher(self.subscribers))

    def destroy_publisher(self, publisher):
        self.publishers = {k: v for k, v in self.publishers.items() if v is not publisher}
